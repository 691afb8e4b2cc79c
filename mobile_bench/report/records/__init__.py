"""The HTML page about records of `odllm bench`: several files and devices together."""

from mobile_bench.report.records.page import render_records, write_records

__all__ = ["render_records", "write_records"]
