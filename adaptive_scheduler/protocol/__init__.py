"""What jobs and their manager say to each other, and how."""
