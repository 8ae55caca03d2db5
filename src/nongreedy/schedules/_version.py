"""The release: written into schedules, studies and pages."""

__version__ = "0.1.0"
