"""The store over ZooKeeper, through kazoo: the only package that knows kazoo.

`client` is kazoo, kept to one session and to the ticks of the trio loop; `session` is that session
in the trio thread: requests under way, connection, lease, watches; `answers` makes the port's
facts and errors of kazoo's; `store` is the port.
Must never know: what the znodes mean.
"""

from coordinator.zookeeper.store import connect_zookeeper

__all__ = ["connect_zookeeper"]
