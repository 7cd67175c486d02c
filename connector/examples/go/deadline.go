package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "dcr-connector-go/gen/dcr/connector/v1"
)

const (
	// A call's answer leaves this long before its caller gives up.
	margin = 200 * time.Millisecond
	// How long a call may take whose caller does not say.
	usualTime = 8 * time.Second
)

// inTime ends the context of each call early enough for the answer to arrive.
func inTime(ctx context.Context, request any, _ *grpc.UnaryServerInfo, answer grpc.UnaryHandler) (any, error) {
	deadline, has := ctx.Deadline()
	if !has {
		deadline = time.Now().Add(usualTime)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(-margin))
	defer cancel()
	if ctx.Err() != nil {
		return nil, refused(codes.Unavailable, pb.Reason_REASON_TIMED_OUT, "too little time was left; nothing was begun")
	}
	return answer(ctx, request)
}
