"""A small social network: posts and likes are events, and services make of them what people see.

    posting        takes posts, likes and messages by HTTP, writes them to `events`, serves the page
    feed           what each reader sees, with likes; and a receipt for every event that it has seen
    notifications  "X liked your post"
    messages       direct messages, and a first one between two who like each other's posts
    trending       likes for each post in windows of ten seconds, by event time
    activity       a few people who post and like without end

Each is a process: `python -m examples.social feed ...`, and `python -m ottla_social feed ...` where
Ottla was installed from a wheel, which has this package under that name. It is why imports in here
are relative. `ottla demo` starts all of them.
"""
