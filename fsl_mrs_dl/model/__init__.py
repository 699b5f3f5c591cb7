"""Networks, their configurations, their input and their folders."""
