"""The edges: everything that speaks to something outside the process, or reads a clock."""
