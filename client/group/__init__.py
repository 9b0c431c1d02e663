"""Taking part in a consumer group: who reads which partitions, and from where they go on.

The decisions (`verdicts`, `membership`, `handover`, `topics`, `leader` and the assignors) are pure;
`member`, `broker` and `offsets` wait. `participant` joins both for the consumer.
Must never know: records, how they are fetched.
"""
