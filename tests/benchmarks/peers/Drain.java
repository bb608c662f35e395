import com.sun.management.OperatingSystemMXBean;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.FileReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Drains a backlog through Debezium's embedded engine. An event is counted, its bytes too, and sent to Kafka if there is
 * one, a batch at a time, as Debezium Server does: at least once.
 *
 * <p>Drain PROPERTIES TABLE SKIP COUNT [BOOTSTRAP]: of the events of TABLE the first SKIP are warm-up, COUNT in all are awaited, and
 * then for half a second any that should not be there. Prints: the events seen, those measured, seconds, CPU seconds,
 * peak RSS in kB, characters of keys and values.
 */
public final class Drain implements DebeziumEngine.ChangeConsumer<ChangeEvent<String, String>> {
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private record Moment(long events, long nanos, long cpuNanos) {
        static Moment now(long events) {
            return new Moment(events, System.nanoTime(), SYSTEM.getProcessCpuTime());
        }
    }

    private final CountDownLatch done = new CountDownLatch(1);
    private final String table;
    private final long skip;
    private final long count;
    private volatile long seen;
    private volatile long characters;
    private volatile Moment first;
    private volatile Moment last;
    private final KafkaProducer<String, String> producer;

    private Drain(String table, long skip, long count, KafkaProducer<String, String> producer) {
        this.producer = producer;
        this.table = "." + table;
        this.skip = skip;
        this.count = count;
    }

    @Override
    public void handleBatch(
            List<ChangeEvent<String, String>> events,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer)
            throws InterruptedException {
        long now = seen;
        long length = characters;
        for (ChangeEvent<String, String> event : events) {
            if (event.destination().endsWith(table)) {
                now++;
                length += event.value().length() + event.key().length();
            }
            if (producer != null) {
                producer.send(new ProducerRecord<>(event.destination(), event.key(), event.value()), this::sent);
            }
        }
        if (producer != null) {
            producer.flush();
        }
        for (ChangeEvent<String, String> event : events) {
            committer.markProcessed(event);
        }
        committer.markBatchFinished();
        seen = now;
        characters = length;
        if (first == null && now > 0 && now >= skip) {
            first = Moment.now(now);
        }
        if (last == null && now >= count) {
            last = Moment.now(now);
            done.countDown();
        }
    }

    private void sent(RecordMetadata metadata, Exception error) {
        if (error != null) {
            System.err.println("Kafka: " + error);
            System.exit(1);
        }
    }

    /** With the settings that drained fastest here; the same compression as Livetail's. */
    private static KafkaProducer<String, String> producer(String bootstrap) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("acks", "all");
        properties.put("compression.type", "zstd");
        properties.put("compression.zstd.level", "1");
        properties.put("batch.size", "524288");
        properties.put("linger.ms", "5");
        properties.put("buffer.memory", "67108864");
        return new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
    }

    private static String peakKilobytes() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return line.replaceAll("[^0-9]", "");
            }
        }
        throw new IllegalStateException("no VmHWM in /proc/self/status");
    }

    public static void main(String[] given) throws Exception {
        Properties properties = new Properties();
        try (FileReader reader = new FileReader(given[0])) {
            properties.load(reader);
        }
        Drain drain =
                new Drain(
                        given[1],
                        Long.parseLong(given[2]),
                        Long.parseLong(given[3]),
                        given.length > 4 ? producer(given[4]) : null);
        AtomicReference<String> failure = new AtomicReference<>();
        DebeziumEngine<ChangeEvent<String, String>> engine =
                DebeziumEngine.create(Json.class)
                        .using(properties)
                        .notifying(drain)
                        .using(
                                (success, message, error) -> {
                                    if (!success) {
                                        failure.set(message + " " + error);
                                        drain.done.countDown();
                                    }
                                })
                        .build();
        new Thread(engine).start();
        drain.done.await();
        if (failure.get() != null) {
            System.err.println(failure.get());
            System.exit(1);
        }
        Thread.sleep(500);
        engine.close();
        System.out.printf(
                Locale.ROOT,
                "%d %d %.6f %.6f %s %d%n",
                drain.seen,
                drain.last.events - drain.first.events,
                (drain.last.nanos - drain.first.nanos) / 1e9,
                (drain.last.cpuNanos - drain.first.cpuNanos) / 1e9,
                peakKilobytes(),
                drain.characters);
        System.exit(0);
    }
}
