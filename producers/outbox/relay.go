package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/producers"
)

const (
	batchRows  = 500
	pollEvery  = 200 * time.Millisecond
	retryAfter = time.Second
	purgeEvery = time.Minute
	reportEach = time.Second
)

// Relay brings rows to Kafka. A row is marked after the broker acknowledged
// it: a relay that is killed between sends it again, under the same ce_id.
type Relay struct {
	box     *Outbox
	encoder producers.Encoder
	publish producers.Publisher
	log     *zap.Logger
	report  func(Status)
}

// NewRelay makes a relay. report, which may be nil, is told about the table once
// a second while this relay has it, and of nothing at all while another one does.
func NewRelay(box *Outbox, encoder producers.Encoder, publish producers.Publisher, log *zap.Logger, report func(Status)) *Relay {
	return &Relay{box: box, encoder: encoder, publish: publish, log: log, report: report}
}

// Run relays until ctx ends. Of several relays of one table one works and the
// others wait. What the database or the broker refuses is tried again.
func (r *Relay) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.hold(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("outbox relay", zap.Error(err))
		}
		sleep(ctx, retryAfter)
	}
	return nil
}

// hold relays for as long as this relay has the lock and its connection.
func (r *Relay) hold(ctx context.Context) error {
	conn, err := r.box.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	release, ok, err := r.box.dialect.lock(ctx, conn, r.box.cfg.Table)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if !ok {
		if r.report != nil {
			r.report(Status{}) // the relay that works counts the rows, not this one too
		}
		return nil
	}
	defer release()
	var purged, reported time.Time
	for {
		if time.Since(reported) > reportEach && r.report != nil {
			reported = time.Now()
			if status, err := r.box.Status(ctx); err == nil { // told of rows that cannot go too
				r.report(status)
			}
		}
		n, err := r.batch(ctx, conn)
		if err != nil {
			return err
		}
		if r.box.cfg.Keep > 0 && time.Since(purged) > purgeEvery {
			purged = time.Now()
			if err := r.purge(ctx, conn); err != nil {
				return err
			}
		}
		if n < batchRows && !sleep(ctx, pollEvery) {
			return nil
		}
	}
}

type row struct {
	position                     int64
	id, aggregateType, key, kind string
	payload, created             string
	headers                      sql.NullString
}

// batch relays the oldest rows that wait, and returns how many there were.
func (r *Relay) batch(ctx context.Context, conn *sql.Conn) (int, error) {
	rows, err := r.pending(ctx, conn)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	var (
		records []producers.Record
		sent    []row
	)
	for _, rw := range rows {
		rec, err := r.render(ctx, rw)
		verdict, failure := holdfast.Judge(err)
		switch verdict {
		case holdfast.VerdictDelivered:
			records, sent = append(records, rec), append(sent, rw)
			continue
		case holdfast.VerdictPermanent:
			if err := r.fail(ctx, conn, rw, failure); err != nil {
				return 0, err
			}
			continue
		default:
		}
		// The registry is away: what was rendered goes, the rest waits in its order.
		if len(records) == 0 {
			return 0, err
		}
		break
	}
	errs := r.publish.Publish(ctx, records)
	var acked []int64
	var failed error
	for i, err := range errs {
		if err == nil {
			acked = append(acked, sent[i].position)
		} else {
			failed = err
		}
	}
	if err := r.mark(ctx, conn, acked); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, fmt.Errorf("publish: %w", failed)
	}
	return len(rows), nil
}

func (r *Relay) pending(ctx context.Context, conn *sql.Conn) ([]row, error) {
	d := r.box.dialect
	rows, err := conn.QueryContext(ctx, `SELECT position, `+d.idText()+`, aggregatetype, aggregateid, type, payload, headers, `+d.timeText("created_at")+`
		FROM `+r.box.table+` WHERE published_at IS NULL AND error IS NULL ORDER BY position LIMIT $1`, batchRows)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		var rw row
		if err := rows.Scan(&rw.position, &rw.id, &rw.aggregateType, &rw.key, &rw.kind, &rw.payload, &rw.headers, &rw.created); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		out = append(out, rw)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return out, nil
}

// render turns a row into a record.
func (r *Relay) render(ctx context.Context, rw row) (producers.Record, error) {
	topic := rw.aggregateType
	if alias, ok := r.box.cfg.Topics[topic]; ok {
		topic = alias
	}
	headers, err := rowHeaders(rw.headers)
	if err != nil {
		return producers.Record{}, err
	}
	value, err := r.encoder.EncodeJSON(ctx, topic, []byte(rw.payload))
	if err != nil {
		return producers.Record{}, err
	}
	headers = append(headers,
		text("ce_specversion", "1.0"), text("ce_id", rw.id), text("ce_source", "holdfast/outbox/"+r.box.cfg.Table),
		text("ce_type", rw.kind), text("ce_time", rw.created))
	return producers.Record{Topic: topic, Key: []byte(rw.key), Value: value, Headers: headers}, nil
}

// rowHeaders reads the column headers; what would speak for us or for the
// envelope is dropped.
func rowHeaders(column sql.NullString) ([]holdfast.Header, error) {
	if !column.Valid || column.String == "" || column.String == "null" {
		return nil, nil
	}
	var given map[string]string
	if err := json.Unmarshal([]byte(column.String), &given); err != nil {
		return nil, holdfast.Permanent(holdfast.ClassValidation, "headers", fmt.Errorf("headers must be an object of strings: %w", err))
	}
	names := make([]string, 0, len(given))
	for name := range given {
		if strings.HasPrefix(name, "ce_") || (strings.HasPrefix(name, "holdfast.") && name != "holdfast.event-id") {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	headers := make([]holdfast.Header, len(names))
	for i, name := range names {
		headers[i] = text(name, given[name])
	}
	return headers, nil
}

func text(name, value string) holdfast.Header {
	return holdfast.Header{Name: name, Value: []byte(value)}
}

// fail keeps a row that does not fit, with its error; the rows behind it go on.
func (r *Relay) fail(ctx context.Context, conn *sql.Conn, rw row, f holdfast.Failure) error {
	r.log.Warn("outbox row refused", zap.String("id", rw.id), zap.String("aggregatetype", rw.aggregateType), zap.Error(f))
	_, err := conn.ExecContext(ctx, `UPDATE `+r.box.table+` SET error = $1 WHERE position = $2`, f.Error(), rw.position)
	if err != nil {
		return fmt.Errorf("keep refused row: %w", err)
	}
	return nil
}

// mark deletes published rows, or keeps them with their time.
func (r *Relay) mark(ctx context.Context, conn *sql.Conn, positions []int64) error {
	if len(positions) == 0 {
		return nil
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(positions), " ", ","), "[]")
	query := `DELETE FROM ` + r.box.table + ` WHERE position IN (` + list + `)`
	if r.box.cfg.Keep > 0 {
		query = `UPDATE ` + r.box.table + ` SET published_at = ` + now(r.box.dialect) + ` WHERE position IN (` + list + `)`
	}
	// What the broker has is marked even when the relay is told to stop meanwhile.
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), query); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return nil
}

func (r *Relay) purge(ctx context.Context, conn *sql.Conn) error {
	before := time.Now().Add(-r.box.cfg.Keep).UTC().Format("2006-01-02T15:04:05.000Z")
	if _, err := conn.ExecContext(ctx, `DELETE FROM `+r.box.table+` WHERE published_at < $1`, before); err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	return nil
}

func now(d dialect) string {
	if _, ok := d.(sqlite); ok {
		return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
	}
	return "clock_timestamp()"
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
