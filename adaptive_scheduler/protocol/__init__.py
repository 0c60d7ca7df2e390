"""What jobs and their manager say to each other, and how.

========== ====================================================================
module     subject
========== ====================================================================
`messages` what is said, without any socket
`curve`    keys, the connection file, and encrypted sockets
`client`   the job's side of a connection
`server`   the manager's side, and where it listens
========== ====================================================================
"""
