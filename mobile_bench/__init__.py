"""Bundle in, measurements out: latency, memory and what each execution provider really ran."""
