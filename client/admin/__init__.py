"""The admin: topics, settings, brokers, replicas and groups, one part each, in one class.

Must never know: how brokers decide, records.
"""

from client.admin.base import AdminConfig
from client.admin.brokers import BrokerAdmin
from client.admin.configs import ConfigAdmin
from client.admin.group_offsets import GroupOffsetAdmin
from client.admin.replicas import ElectionType, ReplicaAdmin
from client.admin.topics import TopicAdmin

__all__ = ["Admin", "AdminConfig", "ElectionType"]


class Admin(TopicAdmin, ConfigAdmin, BrokerAdmin, ReplicaAdmin, GroupOffsetAdmin):
    """Administers a cluster; use it with `async with`."""
