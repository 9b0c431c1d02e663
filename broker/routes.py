"""The table of what this broker serves: which handler answers which API, in which versions.

ApiVersions is computed from it. Must never know: frames, sockets, how a handler works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.catching_up import CatchingUp
from broker.dispatch import Route
from broker.handlers import (
    acls,
    alter_configs,
    alter_partition,
    alter_partition_reassignments,
    api_versions,
    controlled_shutdown,
    create_partitions,
    create_topics,
    delete_groups,
    delete_records,
    delete_topics,
    describe_cluster,
    describe_configs,
    describe_groups,
    describe_log_dirs,
    describe_topic_partitions,
    elect_leaders,
    fetch,
    find_coordinator,
    heartbeat,
    init_producer_id,
    join_group,
    leave_group,
    list_config_resources,
    list_groups,
    list_offsets,
    list_partition_reassignments,
    metadata,
    offset_commit,
    offset_delete,
    offset_fetch,
    offset_for_leader_epoch,
    old_produce,
    produce,
    sasl_handshake,
    sync_group,
)
from broker.handlers.control import Control
from coordinator.producer_ids import allocate_producer_ids
from protocol.api import ApiKey

if TYPE_CHECKING:
    from broker.dispatch import Refuse
    from broker.services import Services


def routes(broker: Services) -> dict[ApiKey, Route]:
    """Make the table for a broker."""
    table: dict[ApiKey, Route] = {}
    table[ApiKey.API_VERSIONS] = Route(
        api_versions.ApiVersionsHandler(table), 0, 4, api_versions.refuse
    )
    table[ApiKey.SASL_HANDSHAKE] = Route(
        sasl_handshake.handle_sasl_handshake, 0, 1, sasl_handshake.refuse
    )
    table.update(_acl_routes())
    table.update(_record_routes(broker))
    table.update(_describing_routes(broker))
    table.update(_changing_routes(broker))
    table.update(_group_routes(broker))
    table.update(_offset_routes(broker))
    table.update(_peer_routes(broker))
    return table


def _acl_routes() -> dict[ApiKey, Route]:
    refusals: dict[ApiKey, Refuse] = {
        ApiKey.DESCRIBE_ACLS: acls.refuse_describe,
        ApiKey.CREATE_ACLS: acls.refuse_create,
        ApiKey.DELETE_ACLS: acls.refuse_delete,
    }
    return {
        key: Route(acls.without_authorizer(refuse), 1, 3, refuse)
        for key, refuse in refusals.items()
    }


def _record_routes(broker: Services) -> dict[ApiKey, Route]:
    partitions = broker.partitions
    catching_up = CatchingUp(broker.view)
    fetching = fetch.FetchHandler(
        partitions,
        broker.fetch_sessions,
        cluster=broker.cluster_for_clients,
        on_follower_fetch=broker.isr_keeper.follower_fetched,
        confirmation=broker.confirmation,
        catching_up=catching_up,
    )
    listing = list_offsets.ListOffsetsHandler(partitions, catching_up)
    ending = offset_for_leader_epoch.OffsetForLeaderEpochHandler(
        partitions, broker.confirmation, catching_up
    )
    deleting = delete_records.DeleteRecordsHandler(partitions)
    giving_ids = init_producer_id.InitProducerIdHandler(
        lambda count: allocate_producer_ids(broker.store, count=count)
    )
    return {
        ApiKey.PRODUCE: _produce_route(broker),
        ApiKey.FETCH: Route(fetching, 4, 17, fetch.refuse),
        ApiKey.LIST_OFFSETS: Route(listing, 1, 10, list_offsets.refuse),
        ApiKey.OFFSET_FOR_LEADER_EPOCH: Route(ending, 2, 4, offset_for_leader_epoch.refuse),
        ApiKey.DELETE_RECORDS: Route(deleting, 0, 2, delete_records.refuse),
        ApiKey.INIT_PRODUCER_ID: Route(giving_ids, 0, 5, init_producer_id.refuse),
    }


def _produce_route(broker: Services) -> Route:
    frame_bytes_max = broker.config.network.socket_request_max_bytes
    older = Route(
        old_produce.handle_old_produce,
        *old_produce.VERSIONS,
        old_produce.refuse,
        request=old_produce.OldProduceRequest,
        frame_bytes_max=frame_bytes_max,
    )
    producing = produce.ProduceHandler(
        broker.partitions,
        broker.confirmation,
        broker.schemas,
        cluster=broker.cluster_for_clients,
        wall_ms=broker.wall_ms,
    )
    return Route(producing, 3, 12, producing.refuse, older=older, frame_bytes_max=frame_bytes_max)


def _describing_routes(broker: Services) -> dict[ApiKey, Route]:
    cluster = broker.cluster_for_clients
    topics = describe_topic_partitions.DescribeTopicPartitionsHandler(cluster)
    brokers = describe_cluster.DescribeClusterHandler(broker_id=broker.broker_id, cluster=cluster)
    directories = describe_log_dirs.DescribeLogDirsHandler(broker.partitions)
    moves = list_partition_reassignments.ListPartitionReassignmentsHandler(cluster)
    configs = describe_configs.DescribeConfigsHandler(
        broker_id=broker.broker_id, cluster=cluster, settings=broker.settings
    )
    resources = list_config_resources.ListConfigResourcesHandler(cluster)
    return {
        ApiKey.METADATA: Route(_metadata_handler(broker), 0, 13, metadata.refuse),
        ApiKey.DESCRIBE_TOPIC_PARTITIONS: Route(topics, 0, 0, describe_topic_partitions.refuse),
        ApiKey.DESCRIBE_CLUSTER: Route(brokers, 0, 2, describe_cluster.refuse),
        ApiKey.DESCRIBE_LOG_DIRS: Route(directories, 1, 4, describe_log_dirs.refuse),
        ApiKey.LIST_PARTITION_REASSIGNMENTS: Route(
            moves, 0, 0, list_partition_reassignments.refuse
        ),
        ApiKey.DESCRIBE_CONFIGS: Route(configs, 1, 4, describe_configs.refuse),
        ApiKey.LIST_CONFIG_RESOURCES: Route(resources, 0, 1, list_config_resources.refuse),
    }


def _metadata_handler(broker: Services) -> metadata.MetadataHandler:
    auto_create = None
    if broker.config.topics.auto_create_topics_enable:
        auto_create = _topic_creation(broker).create_with_defaults
    return metadata.MetadataHandler(
        broker_id=broker.broker_id,
        cluster=broker.cluster_for_clients,
        brokers=broker.view.brokers_for_clients,
        seems_alive=broker.view.seems_alive,
        wait_for=broker.view.wait_for,
        auto_create=auto_create,
    )


def _topic_creation(broker: Services) -> create_topics.CreateTopicsHandler:
    return create_topics.CreateTopicsHandler(_control(broker), broker.settings)


def _changing_routes(broker: Services) -> dict[ApiKey, Route]:
    control = _control(broker)
    creating = _topic_creation(broker)
    deleting = delete_topics.DeleteTopicsHandler(
        control, is_enabled=broker.config.topics.delete_topic_enable
    )
    widening = create_partitions.CreatePartitionsHandler(control)
    incremental = alter_configs.AlterConfigsHandler(control, alter_configs.INCREMENTAL)
    replacing = alter_configs.AlterConfigsHandler(control, alter_configs.REPLACING)
    moving = alter_partition_reassignments.AlterPartitionReassignmentsHandler(control)
    electing = elect_leaders.ElectLeadersHandler(control, cluster=lambda: broker.view.obeyed)
    return {
        ApiKey.CREATE_TOPICS: Route(creating, 2, 7, create_topics.refuse),
        ApiKey.DELETE_TOPICS: Route(deleting, 1, 6, delete_topics.refuse),
        ApiKey.CREATE_PARTITIONS: Route(widening, 0, 3, create_partitions.refuse),
        ApiKey.INCREMENTAL_ALTER_CONFIGS: Route(incremental, 0, 1, incremental.refuse),
        ApiKey.ALTER_CONFIGS: Route(replacing, 0, 2, replacing.refuse),
        ApiKey.ALTER_PARTITION_REASSIGNMENTS: Route(
            moving, 0, 0, alter_partition_reassignments.refuse
        ),
        ApiKey.ELECT_LEADERS: Route(electing, 0, 2, elect_leaders.refuse),
    }


def _group_routes(broker: Services) -> dict[ApiKey, Route]:
    groups = broker.groups
    finding = find_coordinator.FindCoordinatorHandler(groups, cluster=broker.cluster_for_clients)
    return {
        ApiKey.FIND_COORDINATOR: Route(finding, 0, 6, find_coordinator.refuse),
        ApiKey.JOIN_GROUP: Route(join_group.JoinGroupHandler(groups), 0, 9, join_group.refuse),
        ApiKey.SYNC_GROUP: Route(sync_group.SyncGroupHandler(groups), 0, 5, sync_group.refuse),
        ApiKey.HEARTBEAT: Route(heartbeat.HeartbeatHandler(groups), 0, 4, heartbeat.refuse),
        ApiKey.LEAVE_GROUP: Route(leave_group.LeaveGroupHandler(groups), 0, 5, leave_group.refuse),
        ApiKey.DESCRIBE_GROUPS: Route(
            describe_groups.DescribeGroupsHandler(groups), 0, 6, describe_groups.refuse
        ),
        ApiKey.LIST_GROUPS: Route(list_groups.ListGroupsHandler(groups), 0, 5, list_groups.refuse),
        ApiKey.DELETE_GROUPS: Route(
            delete_groups.DeleteGroupsHandler(groups), 0, 2, delete_groups.refuse
        ),
    }


def _offset_routes(broker: Services) -> dict[ApiKey, Route]:
    groups, cluster = broker.groups, broker.cluster_for_clients
    committing = offset_commit.OffsetCommitHandler(
        groups,
        cluster=cluster,
        wall_ms=broker.wall_ms,
        metadata_bytes_max=broker.config.groups.offset_metadata_max_bytes,
    )
    fetching = offset_fetch.OffsetFetchHandler(groups, cluster=cluster)
    deleting = offset_delete.OffsetDeleteHandler(groups, cluster=cluster)
    return {
        ApiKey.OFFSET_COMMIT: Route(committing, 2, 9, offset_commit.refuse),
        ApiKey.OFFSET_FETCH: Route(fetching, 1, 9, offset_fetch.refuse),
        ApiKey.OFFSET_DELETE: Route(deleting, 0, 0, offset_delete.refuse),
    }


def _peer_routes(broker: Services) -> dict[ApiKey, Route]:
    altering = alter_partition.AlterPartitionHandler(broker.controller)
    leaving = controlled_shutdown.ControlledShutdownHandler(broker.controller)
    return {
        ApiKey.ALTER_PARTITION: Route(altering, 2, 3, alter_partition.refuse),
        ApiKey.CONTROLLED_SHUTDOWN: Route(leaving, 3, 3, controlled_shutdown.refuse),
    }


def _control(broker: Services) -> Control:
    return Control(
        broker_id=broker.broker_id,
        cluster=lambda: broker.view.latest,
        wait_heard=broker.view.wait_heard,
        wait_for=broker.view.wait_for,
        controller=broker.controller,
        forward=broker.peers.call_controller,
    )
