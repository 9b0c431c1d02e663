"""Disks and networks in memory, to run whole clusters in one process on a virtual clock."""
