"""Everything about learners that has nothing to do with jobs.

Importing this package imports none of its modules.

Names and lists of learners
    - `file_names`: name a learner's file after its parameters
    - `paths`: what may name a learner's file
    - `splitting`: shuffle and split lists of learners
    - `sequences`: split and combine sequence learners
    - `goals`: when a learner is done

Data on disk
    - `storage`: save and load learners, one or many
    - `data_file`: the data file of one learner
    - `contents`: what is inside it
    - `own_format`: data files of learners that save themselves in their own way
    - `learner1d`: load a `Learner1D` in n log n time
    - `dataframes`: save and load learners' data as tables
    - `dict_columns`: columns of dictionaries as columns of values

From the notebook to the jobs and their workers
    - `pack`: all learners of a run in one file
    - `learner_files`: a learner by the name of its data file
    - `pack_file`: the bytes of that file
    - `empty_copies`: learners without the data that lies in files already
    - `pickling`: pickle, and say what is to blame if that fails
    - `wrapped`: functions that workers load once
    - `caching`: functions that remember their results
    - `shared_folder`: the temporary folder in which they do so
"""
