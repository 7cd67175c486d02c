package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "dcr-connector-go/gen/dcr/connector/v1"
	"dcr-connector-go/idp"
)

// failure is an error as the contract wants it: a code, what it is about, and whether something was done.
type failure struct {
	code    codes.Code
	reason  pb.Reason
	outcome pb.Outcome
	// message is for the log.
	message string
	// sentence may be shown to Konnect's administrator; at most 200 characters.
	sentence   string
	violations []*errdetails.BadRequest_FieldViolation
	retryAfter time.Duration
}

func (f *failure) Error() string { return f.message }

// GRPCStatus makes grpc-go answer this failure with its details.
func (f *failure) GRPCStatus() *status.Status {
	details := []protoadapt.MessageV1{
		protoadapt.MessageV1Of(&errdetails.ErrorInfo{
			Domain: "dcr.connector.v1",
			Reason: strings.TrimPrefix(f.reason.String(), "REASON_"),
		}),
		protoadapt.MessageV1Of(&pb.OutcomeDetail{Outcome: f.outcome}),
	}
	if len(f.violations) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: f.violations})
	}
	if f.retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.retryAfter)})
	}
	if f.sentence != "" {
		details = append(details, &errdetails.LocalizedMessage{Locale: "en", Message: f.sentence})
	}
	answer, err := status.New(f.code, f.message).WithDetails(details...)
	if err != nil {
		return status.New(codes.Internal, err.Error())
	}
	return answer
}

// refused is a failure that did nothing.
func refused(code codes.Code, reason pb.Reason, message string) *failure {
	return &failure{code: code, reason: reason, outcome: pb.Outcome_OUTCOME_NOT_APPLIED, message: message}
}

// didNothing tells whether an error is certain that nothing was done.
func didNothing(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.outcome == pb.Outcome_OUTCOME_NOT_APPLIED
}

func noSuchClient() *failure {
	return refused(codes.NotFound, pb.Reason_REASON_CLIENT_NOT_FOUND, "no such client of this provider")
}

// tooLate is for a call that ends before its task.
func tooLate() *failure {
	f := refused(codes.DeadlineExceeded, pb.Reason_REASON_TIMED_OUT, "the identity provider did not answer in time")
	f.outcome = pb.Outcome_OUTCOME_UNKNOWN
	return f
}

// ofIDP tells what an error of the identity provider means.
func ofIDP(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, idp.ErrNoClient):
		return noSuchClient()
	case errors.Is(err, idp.ErrExists):
		// The id comes from the operation's, which therefore was here before: a restart has forgotten it.
		return refused(codes.AlreadyExists, pb.Reason_REASON_OPERATION_REPEATED, err.Error())
	case errors.Is(err, idp.ErrFull):
		f := refused(codes.FailedPrecondition, pb.Reason_REASON_CLIENT_LIMIT, err.Error())
		f.sentence = "The identity provider allows no more clients: delete applications that are no longer used."
		return f
	case errors.Is(err, idp.ErrDown):
		f := refused(codes.DeadlineExceeded, pb.Reason_REASON_IDP_UNAVAILABLE, err.Error())
		f.outcome = pb.Outcome_OUTCOME_UNKNOWN
		return f
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return tooLate()
	default:
		f := refused(codes.Internal, pb.Reason_REASON_INTERNAL, err.Error())
		f.outcome = pb.Outcome_OUTCOME_UNKNOWN
		return f
	}
}
