"""What was measured, given and happened: readers, unit conversion, plausibility, the list of refused rows."""

from bayestwin.records.read import read_records
from bayestwin.records.reading import FileCount, RecordReading
from bayestwin.records.record import ClinicalEvent, Cohort, Lab, PatientRecord, Superseded
from bayestwin.records.refusal import Refusal, refusals_to_frame, write_refusals

__all__ = [
    "ClinicalEvent",
    "Cohort",
    "FileCount",
    "Lab",
    "PatientRecord",
    "RecordReading",
    "Refusal",
    "Superseded",
    "read_records",
    "refusals_to_frame",
    "write_refusals",
]
