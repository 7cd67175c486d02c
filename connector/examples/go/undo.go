package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"

	pb "dcr-connector-go/gen/dcr/connector/v1"
	"dcr-connector-go/idp"
)

const (
	// The most operations that wait to be undone at once.
	mostPending = 1000
	// Before an identity provider that failed to undo is asked again.
	pause = time.Second
	// What an operation made has long been delivered when it is older.
	oldestAbort = 15 * time.Minute
	// Clients that Konnect's Verify made are removed when they are older.
	oldestProbe = 10 * time.Minute
)

// AbortOperation undoes a create whose answer was lost. It answers what is certain now, and sees to the rest itself.
func (s *service) AbortOperation(
	ctx context.Context, r *pb.AbortOperationRequest,
) (*pb.AbortOperationResponse, error) {
	var v violations
	v.caller(r.GetCaller())
	v.operationID("operation_id", r.GetOperationId())
	v.must(r.GetTarget() != nil, "target", "be given")
	if r.GetAddSecret() != nil {
		v.clientID(r.GetAddSecret().GetClientId())
	}
	if len(v) == 0 {
		v.must(age(r.GetOperationId()) <= oldestAbort, "operation_id", "not be older than 15 minutes")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if r.GetAddSecret() != nil {
		// No call ever added a secret.
		return &pb.AbortOperationResponse{Abort: pb.Abort_ABORT_UNDONE}, nil
	}
	op := operationOf(r.GetCaller(), r.GetOperationId())
	answer, err := detached(ctx, &s.tasks, func(ctx context.Context) (pb.Abort, error) { return s.abort(ctx, op) }, nil)
	if err != nil {
		return nil, err
	}
	return &pb.AbortOperationResponse{Abort: answer}, nil
}

func (s *service) abort(ctx context.Context, op operation) (pb.Abort, error) {
	select {
	case s.pending <- struct{}{}:
	default:
		f := refused(codes.Unavailable, pb.Reason_REASON_IDP_UNAVAILABLE, "too much waits to be undone already")
		f.retryAfter = s.settleAfter
		return 0, f
	}
	switch s.operations.set(op, aborted, delivered, undone) {
	case delivered:
		<-s.pending
		return pb.Abort_ABORT_LEFT, nil
	case undone:
		<-s.pending
		return pb.Abort_ABORT_UNDONE, nil
	}
	answer, err := s.undo(ctx, op)
	if err != nil {
		answer = pb.Abort_ABORT_ACCEPTED
	}
	s.tasks.Go(func() {
		defer func() { <-s.pending }()
		s.lookAgain(op)
	})
	return answer, nil
}

// undoSoon undoes what nobody took. Should it fail, whoever called aborts the operation.
func (s *service) undoSoon(op operation) {
	ctx, cancel := context.WithTimeout(context.Background(), taskTime)
	defer cancel()
	s.operations.set(op, aborted, delivered, undone)
	_, _ = s.undo(ctx, op)
}

// lookAgain undoes what shows itself late: an abort can overtake the create, or meet a replica that has not seen it.
// ACCEPTED was a promise, so an identity provider that fails is asked again.
func (s *service) lookAgain(op operation) {
	time.Sleep(s.settleAfter)
	ctx, cancel := context.WithTimeout(context.Background(), taskTime)
	defer cancel()
	for {
		if _, err := s.undo(ctx, op); err == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			slog.Error("what was aborted is left: look for its client and delete it",
				"operation_id", op.id, "client_id", clientID(op))
			return
		}
	}
}

// undo removes the client that bears exactly this mark, unless it was delivered. An error leaves it open.
func (s *service) undo(ctx context.Context, op operation) (pb.Abort, error) {
	client, err := s.idp.Get(ctx, clientID(op))
	if errors.Is(err, idp.ErrNoClient) {
		return pb.Abort_ABORT_ACCEPTED, nil
	}
	if err == nil && madeBy(client) != op {
		return pb.Abort_ABORT_LEFT, nil
	}
	// From here on nobody finds it any more.
	if err == nil && s.operations.set(op, undone, delivered) == delivered {
		return pb.Abort_ABORT_LEFT, nil
	}
	if err == nil {
		err = s.idp.Delete(ctx, client.ID)
	}
	if err != nil && !errors.Is(err, idp.ErrNoClient) {
		s.operations.set(op, aborted, delivered)
		slog.Warn("what was aborted cannot be undone yet", "operation_id", op.id, "error", err)
		return 0, err
	}
	return pb.Abort_ABORT_UNDONE, nil
}

// removeOldProbes removes what Konnect's Verify made and left.
func (s *service) removeOldProbes(installation string) {
	ctx, cancel := context.WithTimeout(context.Background(), taskTime)
	defer cancel()
	old, err := s.idp.List(ctx, 0, idp.MaxClients, func(c idp.Client) bool {
		return c.Attributes[probeKey] != "" && madeBy(c).installation == installation &&
			time.Since(c.CreatedAt) > oldestProbe
	})
	for _, c := range old {
		err = errors.Join(err, s.idp.Delete(ctx, c.ID))
	}
	if err != nil {
		slog.Error("old probes were not removed", "error", err)
	}
}
