package sinks

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Response is what a destination answered, read to the end or to the cap.
type Response struct {
	Status    int
	Header    http.Header
	Body      []byte
	Truncated bool // the body was longer than the cap
}

// do sends req as call says, tells the gate, which may be nil, when it is on its
// way, reads the answer and closes it. An answer of any status is no error. The
// error is a verdict, or the context's own if it ended before anything was sent,
// and names neither URL, credentials nor payload.
func (c *Client) do(ctx context.Context, req *http.Request, call Call, gate Gate) (*Response, error) {
	limit, timeout := call.MaxBody, c.Within(call.Timeout)
	if limit <= 0 {
		limit = MaxBody
	}
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	sending := once{gate: gate}
	defer sending.end()
	answer, err := c.transport.RoundTrip(sending.bind(ctx, req, call.Body))
	switch {
	case err != nil && sending.unanswered():
		return nil, unanswered(err)
	case err != nil:
		return nil, networkVerdict(ctx, err, sending.sent.Load())
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := readUpTo(answer.Body, answer.ContentLength, limit)
	if err != nil {
		return nil, networkVerdict(ctx, err, true)
	}
	resp := &Response{Status: answer.StatusCode, Header: answer.Header, Body: body}
	if int64(len(body)) > limit {
		resp.Body, resp.Truncated = body[:limit], true
	}
	return resp, nil
}

// readUpTo reads limit+1 bytes at most; the one too many tells a long body
// from one that just fits. Closing what is longer drops the connection, which
// is cheaper than draining what a hostile server may send for ever.
func readUpTo(r io.Reader, length, limit int64) ([]byte, error) {
	if length == 0 {
		return nil, nil
	}
	if length < 0 || length > limit {
		return io.ReadAll(io.LimitReader(r, limit+1))
	}
	// One byte of room lets the last Read return io.EOF, which is what frees
	// the connection for the next request.
	buf := make([]byte, length+1)
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.ErrUnexpectedEOF) && int64(n) == length {
		return buf[:n], nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf[:n], nil
}
