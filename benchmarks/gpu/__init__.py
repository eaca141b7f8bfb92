"""Parts of the first day on a GPU: one module each, which `gpu_day.py` runs."""
