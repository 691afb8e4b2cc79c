"""Studies: what a setting of the compression does to quality, measured under one protocol, as a table and a plot."""
