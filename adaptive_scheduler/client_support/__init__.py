"""The job's side: connect, learn, save, report, heed signals."""
