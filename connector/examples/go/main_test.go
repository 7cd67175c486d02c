package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"

	pb "dcr-connector-go/gen/dcr/connector/v1"
)

// served runs the process until it is terminated, and connects to it.
func served(t *testing.T, s *service) (conn *grpc.ClientConn, terminate func(), ended <-chan error) {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	ctx, terminate := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- serve(ctx, listener, s) }()
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	conn, err := grpc.NewClient("passthrough:connector",
		grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, terminate, end
}

func TestEveryCallIsAnsweredBeforeItsDeadline(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		conn, terminate, ended := served(t, s)
		connector := pb.NewConnectorServiceClient(conn)
		for left, want := range map[time.Duration]struct {
			code    codes.Code
			outcome pb.Outcome
		}{
			margin - time.Millisecond:  {codes.Unavailable, pb.Outcome_OUTCOME_NOT_APPLIED},
			margin + latency/2:         {codes.DeadlineExceeded, pb.Outcome_OUTCOME_UNKNOWN},
			margin + latency + latency: {},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			_, err := connector.ListManagedClients(ctx, &pb.ListManagedClientsRequest{Caller: caller("p")})
			cancel()
			if want.code == codes.OK {
				if err != nil {
					t.Error(left, err)
				}
				continue
			}
			wantFailure(t, err, want.code, "TIMED_OUT", want.outcome)
		}
		terminate()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAMessageBeyondTheLimitIsRefused(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		conn, terminate, ended := served(t, s)
		connector := pb.NewConnectorServiceClient(conn)
		for size, want := range map[int]codes.Code{1000 << 10: codes.OK, 1 << 20: codes.ResourceExhausted} {
			request := newClient()
			// A field that nobody knows, which would be ignored.
			unknown := protowire.AppendTag(nil, 1000, protowire.BytesType)
			request.ProtoReflect().SetUnknown(protowire.AppendBytes(unknown, make([]byte, size)))
			if _, err := connector.CreateClient(t.Context(), request); status.Code(err) != want {
				t.Error(size, err)
			}
		}
		terminate()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestADrainEndsWhatHasBegunAndBeginsNothing(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		conn, terminate, ended := served(t, s)
		name := &grpc_health_v1.HealthCheckRequest{Service: "dcr.connector.v1.ConnectorService"}
		health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), name)
		if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Fatal(health, err)
		}
		connector := pb.NewConnectorServiceClient(conn)
		if _, err := connector.AbortOperation(t.Context(), abortOf(newClient())); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(latency/2, terminate)
		if _, err := connector.CreateClient(t.Context(), newClient()); err != nil {
			t.Error("begun before the end:", err)
		}
		_, err = connector.DescribeConnector(t.Context(), &pb.DescribeConnectorRequest{})
		if status.Code(err) != codes.Unavailable {
			t.Error("begun after the end:", err)
		}
		if err := <-ended; err != nil || len(s.pending) > 0 {
			t.Errorf("%v; %d are still to be undone", err, len(s.pending))
		}
	})
}

func TestTheLastSecretGetsATokenAndNoOther(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		made := create(t, s)
		request := &pb.RotateClientSecretRequest{
			Caller: caller("p"), Operation: newOperation(), ClientId: made.GetClientId(),
		}
		rotated, err := s.RotateClientSecret(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.RotateClientSecret(t.Context(), request)
		wantFailure(t, err, codes.AlreadyExists, "OPERATION_REPEATED", pb.Outcome_OUTCOME_NOT_APPLIED)
		for secret, want := range map[string]int{
			made.GetSecret().GetValue():    http.StatusUnauthorized,
			rotated.GetSecret().GetValue(): http.StatusOK,
		} {
			form := strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode())
			request := httptest.NewRequest(http.MethodPost, "/token", form)
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			request.SetBasicAuth(made.GetClientId(), secret)
			answer := httptest.NewRecorder()
			s.idp.ServeHTTP(answer, request)
			if answer.Code != want {
				t.Errorf("got %d, want %d: %s", answer.Code, want, answer.Body)
			}
		}
	})
}
