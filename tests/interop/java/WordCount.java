import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Counts the words of a topic's lines with Kafka Streams until there are so many, and prints each word's count.
 *
 * <p>Two instances do it; what they have counted is in a changelog, and in memory.
 *
 * <p>Arguments: bootstrap, application id, input topic, output topic, a directory, how many words, then settings
 * as key=value.
 */
public final class WordCount {
    private static final String COUNTS = "counts";

    public static void main(String[] arguments) throws InterruptedException {
        Topology topology = topology(arguments[2], arguments[3]);
        List<KafkaStreams> instances = new ArrayList<>();
        for (String name : List.of("a", "b")) {
            Properties settings = new Properties();
            settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
            settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
            settings.put(StreamsConfig.STATE_DIR_CONFIG, Path.of(arguments[4], name).toString());
            settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 3);
            settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
            for (int i = 6; i < arguments.length; i++) {
                String[] setting = arguments[i].split("=", 2);
                settings.put(setting[0], setting[1]);
            }
            instances.add(new KafkaStreams(topology, settings));
        }
        for (KafkaStreams instance : instances) {
            instance.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return null;
            });
            instance.start();
        }
        long wanted = Long.parseLong(arguments[5]);
        Map<String, Long> counts = counts(instances);
        while (sum(counts) < wanted) {
            Thread.sleep(100);
            counts = counts(instances);
        }
        for (KafkaStreams instance : instances) {
            instance.close(Duration.ofSeconds(30));
        }
        counts.forEach((word, count) -> System.out.println(word + " " + count));
    }

    private static Topology topology(String input, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(input, Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore(COUNTS))
                .withKeySerde(Serdes.String())
                .withValueSerde(Serdes.Long()))
            .toStream()
            .mapValues(count -> count.toString())
            .to(output, Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    private static long sum(Map<String, Long> counts) {
        return counts.values().stream().mapToLong(Long::longValue).sum();
    }

    private static Map<String, Long> counts(List<KafkaStreams> instances) {
        Map<String, Long> counts = new TreeMap<>();
        for (KafkaStreams instance : instances) {
            try {
                ReadOnlyKeyValueStore<String, Long> store = instance.store(StoreQueryParameters.fromNameAndType(
                    COUNTS, QueryableStoreTypes.<String, Long>keyValueStore()));
                try (KeyValueIterator<String, Long> all = store.all()) {
                    while (all.hasNext()) {
                        KeyValue<String, Long> next = all.next();
                        counts.put(next.key, next.value);
                    }
                }
            } catch (InvalidStateStoreException notYet) {
                // It is being assigned, or restored.
            }
        }
        return counts;
    }
}
