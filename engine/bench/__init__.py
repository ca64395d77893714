"""What `lmaps bench` measures: quality of methods by task, latency, and quality against time."""
