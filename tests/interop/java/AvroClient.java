import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.springframework.cloud.stream.schema.registry.SchemaReference;
import org.springframework.cloud.stream.schema.registry.SchemaRegistrationResponse;
import org.springframework.cloud.stream.schema.registry.client.ConfluentSchemaRegistryClient;

/** Writes and reads Avro in Confluent's wire format, with Apache's Avro and Spring's registry client.
 *
 * <p>Arguments: bootstrap, registry, topic, then "write" and the file of a schema, whose values are
 * lines of JSON on the standard input; or "read" and how many. What is written is told as "id
 * version", what is read as a line of JSON each.
 */
public final class AvroClient {
    private static final byte MAGIC = 0;
    private static final int HEADER_BYTES = 5;

    private final ConfluentSchemaRegistryClient registry = new ConfluentSchemaRegistryClient();
    private final Map<Integer, Schema> schemas = new HashMap<>();

    private AvroClient(String endpoint) {
        registry.setEndpoint(endpoint);
    }

    public static void main(String[] arguments) throws Exception {
        AvroClient client = new AvroClient(arguments[1]);
        if (arguments[3].equals("write")) {
            client.write(arguments[0], arguments[2], Files.readString(Path.of(arguments[4])));
        } else {
            client.read(arguments[0], arguments[2], Integer.parseInt(arguments[4]));
        }
    }

    private void write(String bootstrap, String topic, String text) throws Exception {
        String subject = topic + "-value";
        SchemaRegistrationResponse answer = registry.register(subject, "avro", text);
        SchemaReference reference = answer.getSchemaReference();
        // What it is given back is what it encodes by.
        Schema schema = new Schema.Parser().parse(registry.fetch(reference));
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "acks", "all");
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, bytes, bytes);
                Scanner lines = new Scanner(System.in)) {
            while (lines.hasNextLine()) {
                byte[] value = encode(answer.getId(), schema, lines.nextLine());
                producer.send(new ProducerRecord<>(topic, value)).get();
            }
        }
        System.out.println(answer.getId() + " " + reference.getVersion());
    }

    private static byte[] encode(int id, Schema schema, String json) throws Exception {
        Object value = new GenericDatumReader<>(schema)
            .read(null, DecoderFactory.get().jsonDecoder(schema, json));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(MAGIC);
        out.write(ByteBuffer.allocate(HEADER_BYTES - 1).putInt(id).array());
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
        new GenericDatumWriter<>(schema).write(value, encoder);
        encoder.flush();
        return out.toByteArray();
    }

    private void read(String bootstrap, String topic, int count) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap);
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        int left = count;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            List<TopicPartition> partitions = List.of(new TopicPartition(topic, 0));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (left > 0) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    System.out.println(decode(record.value()));
                    left--;
                }
            }
        }
    }

    private Object decode(byte[] value) throws Exception {
        ByteBuffer header = ByteBuffer.wrap(value);
        if (header.get() != MAGIC) {
            throw new IllegalArgumentException("not written with a schema");
        }
        int id = header.getInt();
        if (!schemas.containsKey(id)) {
            schemas.put(id, new Schema.Parser().parse(registry.fetch(id)));
        }
        int length = value.length - HEADER_BYTES;
        return new GenericDatumReader<>(schemas.get(id))
            .read(null, DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, length, null));
    }
}
