"""A cohort whose truth is known, for the demo, the tests and the benchmarks."""

from bolus.phantom.anatomy import subject_of
from bolus.phantom.cohort import write_cohort, write_frame
from bolus.phantom.design import Design
from bolus.phantom.session import write_session
from bolus.phantom.tissue import Tissue, classes

__all__ = ["Design", "Tissue", "classes", "subject_of", "write_cohort", "write_frame", "write_session"]
