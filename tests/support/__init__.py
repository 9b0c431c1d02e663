"""What test files share beyond fixtures: real clusters and ZooKeepers, and scripted ones."""
