package main

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	pb "dcr-connector-go/gen/dcr/connector/v1"
)

const (
	// How long a task may go on when its caller has gone.
	taskTime = 30 * time.Second
	// The most operations that are remembered. Should one that is forgotten be repeated, the identity provider still
	// refuses a second client of the same id.
	mostKnown = 20_000
)

// state is what is known of an operation that must not happen twice.
type state int

const (
	unknown   state = iota
	running         // its task runs
	ended           // its task has ended
	delivered       // a later call named the client that it made: its answer has arrived
	aborted         // it is to be undone, and somebody sees to that
	undone          // what it made is gone
)

// operation names one: an id counts for its caller alone.
type operation struct{ installation, provider, id string }

func operationOf(caller *pb.Caller, id string) operation {
	return operation{caller.GetInstallation(), caller.GetProviderId(), id}
}

// operations is a memory, not a journal: a restart forgets it, and another replica has its own. What it cannot tell is
// told by the mark in the client.
type operations struct {
	mutex sync.Mutex
	known map[operation]state
	order []operation
}

func newOperations() *operations {
	return &operations{known: make(map[operation]state)}
}

// set puts an operation into a state, unless it is in one of those named; and returns the state before.
func (o *operations) set(op operation, to state, unless ...state) state {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	before := o.known[op]
	for _, final := range unless {
		if before == final {
			return before
		}
	}
	if before == unknown {
		o.order = append(o.order, op)
		if len(o.order) > mostKnown {
			delete(o.known, o.order[0])
			o.order = o.order[1:]
		}
	}
	o.known[op] = to
	return before
}

// begin begins an operation, once.
func (o *operations) begin(op operation) error {
	switch o.set(op, running, running, ended, delivered, aborted, undone) {
	case unknown:
		return nil
	case aborted, undone:
		return refused(codes.AlreadyExists, pb.Reason_REASON_OPERATION_ABORTED,
			"the operation was aborted before it came")
	default:
		return refused(codes.AlreadyExists, pb.Reason_REASON_OPERATION_REPEATED, "the operation id was used before")
	}
}

// end notes that a task has ended, and tells whether it was aborted meanwhile.
func (o *operations) end(op operation) (wasAborted bool) {
	before := o.set(op, ended, aborted, undone)
	return before == aborted || before == undone
}

// tasks are what outlives the calls that began it; a drain waits for them.
type tasks struct{ sync.WaitGroup }

// detached acts in a task of its own and waits for its result as long as its caller waits. A caller that goes away
// stops nothing: the task acts to its end, and undoes what nobody took, unless it certainly did nothing.
func detached[T any](
	ctx context.Context,
	tasks *tasks,
	act func(context.Context) (T, error),
	undo func(),
) (T, error) {
	type result struct {
		value T
		err   error
	}
	// Nothing is put into it that nobody takes out.
	results := make(chan result)
	tasks.Go(func() {
		if ctx.Err() != nil {
			// Nothing was begun, and what its caller does next must not be overtaken.
			return
		}
		acting, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTime)
		defer cancel()
		value, err := act(acting)
		select {
		case results <- result{value, err}:
		case <-ctx.Done():
			if undo != nil && !didNothing(err) {
				undo()
			}
		}
	})
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		var nothing T
		return nothing, tooLate()
	}
}
