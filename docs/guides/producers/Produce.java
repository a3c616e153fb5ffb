// Produces invoices with nothing of holdfast: java -cp 'LIB/*' Produce.java BROKERS REGISTRY [COUNT]
// LIB has org.apache.kafka:kafka-clients and org.apache.avro:avro with what they need.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Produce {
  static final String TOPIC = "crm.invoice.v1";

  public static void main(String[] args) throws Exception {
    JsonNode latest = latest(args[1], TOPIC + "-value");
    int id = latest.get("id").asInt();
    Schema schema = new Schema.Parser().parse(latest.get("schema").asText());
    Map<String, Object> config = Map.of("bootstrap.servers", args[0], "enable.idempotence", true, "acks", "all");
    try (var producer = new KafkaProducer<>(config, new StringSerializer(), new ByteArraySerializer())) {
      for (int n = 0; n < (args.length > 2 ? Integer.parseInt(args[2]) : 1); n++) {
        GenericRecord invoice = invoice(schema, n);
        String key = ((GenericRecord) invoice.get("customer")).get("id").toString();
        var record = new ProducerRecord<>(TOPIC, key, framed(id, invoice));
        Map.of("ce_id", UUID.randomUUID().toString(), "ce_source", "java", "ce_type", "invoice.issued")
            .forEach((name, value) -> record.headers().add(name, value.getBytes(StandardCharsets.UTF_8)));
        System.out.println(key + " " + producer.send(record).get().partition());
      }
    }
  }

  /** The newest version of a subject: its id and its schema. */
  static JsonNode latest(String registry, String subject) throws IOException, InterruptedException {
    var request = HttpRequest.newBuilder(URI.create(registry + "/subjects/" + subject + "/versions/latest")).build();
    var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) throw new IOException(subject + ": " + answer.body());
    return new ObjectMapper().readTree(answer.body());
  }

  /** The wire format: a zero, the schema's id in four bytes, big-endian, and the Avro body. */
  static byte[] framed(int id, GenericRecord record) throws IOException {
    var bytes = new ByteArrayOutputStream();
    var head = new DataOutputStream(bytes);
    head.writeByte(0);
    head.writeInt(id);
    BinaryEncoder body = EncoderFactory.get().binaryEncoder(bytes, null);
    new GenericDatumWriter<GenericRecord>(record.getSchema()).write(record, body);
    body.flush();
    return bytes.toByteArray();
  }

  static GenericRecord invoice(Schema schema, int number) {
    Schema customer = schema.getField("customer").schema();
    Schema line = schema.getField("lines").schema().getElementType();
    int who = number % 7;
    long now = Instant.now().toEpochMilli();
    return new GenericRecordBuilder(schema)
        .set("id", "inv_" + number)
        .set("number", String.format("2026-%06d", number))
        .set("status", new GenericData.EnumSymbol(schema.getField("status").schema(), "ISSUED"))
        .set("customer", new GenericRecordBuilder(customer)
            .set("id", "cus_" + who)
            .set("name", "Ada Muster")
            .set("email", "ada." + who + "@example.com")
            .set("address", new GenericRecordBuilder(customer.getField("address").schema())
                .set("line1", "Hauptstr. 1").set("city", "Bonn").set("postal_code", "53111").set("country", "DE")
                .build())
            .build())
        .set("issued_at", now)
        .set("due_at", now + Duration.ofDays(14).toMillis())
        .set("currency", "EUR")
        .set("lines", List.of(new GenericRecordBuilder(line)
            .set("sku", "SKU-1")
            .set("description", "Training")
            .set("quantity", 2)
            .set("unit_amount", decimal(line, "unit_amount", "40.50"))
            .set("tax_rate", decimal(line, "tax_rate", "0.1900"))
            .build()))
        .set("total", decimal(schema, "total", "81.00"))
        .build();
  }

  static ByteBuffer decimal(Schema record, String field, String value) {
    Schema type = record.getField(field).schema();
    return new Conversions.DecimalConversion().toBytes(new BigDecimal(value), type, type.getLogicalType());
  }
}
