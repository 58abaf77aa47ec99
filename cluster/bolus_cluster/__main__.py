"""`python -m bolus_cluster`: the command `bolus` where only a Python is known, as in a job."""

from bolus_cluster.cli import main

if __name__ == "__main__":
    main(prog_name="bolus")
