"""One module a verb. Heavy imports stay inside the functions: `odllm --help` must answer at once."""
