"""Log compaction: of the records of one key only the newest is kept, and tombstones for a while."""
