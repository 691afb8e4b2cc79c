"""What a user would pick instead, timed beside our graph: the only part of `mobile_bench` that loads torch.

`make bench`, which is `python -m mobile_bench.baselines --out runs/bench`.
"""
