"""Everything about learners that has nothing to do with jobs.

Importing this package imports none of its modules.

Names and lists of learners
    - `paths`: the names of learners' data files, also after their parameters
    - `splitting`: shuffle, split and combine learners
    - `goals`: when a learner is done

Data on disk
    - `storage`: save and load learners, one or many
    - `data_file`: the data file of one learner, in adaptive's format or its own
    - `contents`: what is inside it
    - `merging`: points that were saved beside it
    - `rescue`: points of jobs whose folders were moved or deleted
    - `dataframes`: save and load learners' data as tables

From the notebook to the jobs and their workers
    - `pack`: all learners of a run in one file
    - `learner_files`: a learner by the name of its data file
    - `pickling`: pickle, and say what is to blame if that fails
    - `wrapped`: functions that workers load once
    - `caching`: functions that remember their results
"""
