"""Where results go. Sinks know results and files, and nothing of the pipeline that makes them."""
