"""The ground: errors, progress, checks, durable files, the process, threads and compilation."""
