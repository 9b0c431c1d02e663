"""What several suites share: real clusters and real ZooKeepers, started and ended by the tests."""
