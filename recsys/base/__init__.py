"""The ground: errors, progress, files written aside, the process, threads and compilation."""
