import io.debezium.transforms.ExtractNewRecordState;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;

/**
 * Reads so many records of a topic and prints what Debezium's ExtractNewRecordState makes of each, as JSON, or "dropped".
 * As it does nothing to records without schema, each value gets the schema of a Debezium connector, from a file.
 *
 * Arguments: brokers, topic, count, schema file.
 */
public class Unwrap {
    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        int left = Integer.parseInt(arguments[2]);
        String schema = Files.readString(Path.of(arguments[3]));
        JsonConverter reading = new JsonConverter();
        reading.configure(Map.of("schemas.enable", "true"), false);
        JsonConverter printing = new JsonConverter();
        printing.configure(Map.of("schemas.enable", "false"), false);
        ExtractNewRecordState<SinkRecord> unwrap = new ExtractNewRecordState<>();
        unwrap.configure(Map.of("delete.tombstone.handling.mode", "rewrite", "add.fields", "op,source.txId,transaction.id"));
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", arguments[0], "group.id", topic, "auto.offset.reset", "earliest",
            "isolation.level", "read_committed");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (left > 0) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    byte[] value = record.value();
                    if (value != null) {
                        String payload = new String(value, StandardCharsets.UTF_8);
                        value = ("{\"schema\":" + schema + ",\"payload\":" + payload + "}").getBytes(StandardCharsets.UTF_8);
                    }
                    var read = reading.toConnectData(topic, value);
                    SinkRecord made = unwrap.apply(new SinkRecord(
                        topic, record.partition(), null, record.key(), read.schema(), read.value(), record.offset()));
                    System.out.println(made == null ? "dropped"
                        : new String(printing.fromConnectData(topic, made.valueSchema(), made.value()), StandardCharsets.UTF_8));
                    left--;
                }
            }
        }
    }
}
