"""Operating-system functions for all packages: files, locks, devices, limits."""
