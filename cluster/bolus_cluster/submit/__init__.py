"""Hand a cohort in as cluster jobs: the script as pure text, and the command of the scheduler that takes it."""
