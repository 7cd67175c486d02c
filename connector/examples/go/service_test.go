package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "dcr-connector-go/gen/dcr/connector/v1"
	"dcr-connector-go/idp"
)

const latency = 50 * time.Millisecond

// story tells one in a bubble whose clock waits for nobody.
func story(t *testing.T, tell func(t *testing.T, s *service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newService(&idp.Provider{Latency: latency}, ownClient, 2*time.Second)
		for _, id := range []string{ownClient, handmade} {
			if _, _, err := s.idp.Create(t.Context(), idp.Client{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		tell(t, s)
		s.tasks.Wait()
	})
}

func caller(provider string) *pb.Caller {
	return &pb.Caller{Installation: "tests", ProviderId: provider}
}

func newOperation() *pb.Operation {
	var random [10]byte
	_, _ = rand.Read(random[:])
	hex := fmt.Sprintf("%012x7%019x", time.Now().UnixMilli(), random)[:32]
	id := hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-8" + hex[17:20] + "-" + hex[20:]
	return &pb.Operation{OperationId: id}
}

func newClient() *pb.CreateClientRequest {
	return &pb.CreateClientRequest{
		Caller:     caller("p"),
		Operation:  newOperation(),
		Name:       "A ferry timetable",
		GrantTypes: []string{"client_credentials"},
	}
}

func create(t *testing.T, s *service) *pb.CreateClientResponse {
	t.Helper()
	made, err := s.CreateClient(t.Context(), newClient())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func abortOf(r *pb.CreateClientRequest) *pb.AbortOperationRequest {
	return &pb.AbortOperationRequest{
		Caller:      r.GetCaller(),
		OperationId: r.GetOperation().GetOperationId(),
		Target:      &pb.AbortOperationRequest_Create{Create: &pb.AbortCreate{}},
	}
}

func wantAbort(t *testing.T, s *service, r *pb.AbortOperationRequest, want pb.Abort) {
	t.Helper()
	answer, err := s.AbortOperation(t.Context(), r)
	if err != nil || answer.GetAbort() != want {
		t.Fatalf("got %v, %v; want %v", answer, err, want)
	}
}

// wantFailure checks a status, what is in it, and returns the fields that it complains of.
func wantFailure(t *testing.T, err error, code codes.Code, reason string, outcome pb.Outcome) (fields []string) {
	t.Helper()
	got := status.Convert(err)
	if got.Code() != code {
		t.Fatalf("got %v, want %v", err, code)
	}
	var info *errdetails.ErrorInfo
	var detail *pb.OutcomeDetail
	for _, any := range got.Details() {
		switch any := any.(type) {
		case *errdetails.ErrorInfo:
			info = any
		case *pb.OutcomeDetail:
			detail = any
		case *errdetails.BadRequest:
			for _, violation := range any.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
		}
	}
	if info.GetDomain() != "dcr.connector.v1" || info.GetReason() != reason || detail.GetOutcome() != outcome {
		t.Fatalf("got %v, %v; want %s, %v", info, detail, reason, outcome)
	}
	return fields
}

func listed(t *testing.T, s *service) (ids []string) {
	t.Helper()
	request := &pb.ListManagedClientsRequest{Caller: caller("another"), PageSize: 2}
	for {
		page, err := s.ListManagedClients(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.GetClients() {
			ids = append(ids, c.GetClientId())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return ids
		}
	}
}

func TestEveryViolationIsTold(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		_, err := s.CreateClient(t.Context(), &pb.CreateClientRequest{
			Caller:       caller("UPPER"),
			Operation:    &pb.Operation{OperationId: "01890a5d-ac96-474b-bcce-b302099a8057"},
			Name:         strings.Repeat("ß", 256),
			Description:  "a\x00b",
			RedirectUris: []string{"https://app.example/cb", "http://app.example/cb", "com.example.app:/cb"},
			GrantTypes:   []string{"client_credentials", "password"},
			Scopes:       []string{"a b"},
		})
		got := wantFailure(t, err, codes.InvalidArgument, "INVALID_REQUEST", pb.Outcome_OUTCOME_NOT_APPLIED)
		want := []string{
			"caller", "operation", "name", "description", "redirect_uris[1]", "grant_types[1]", "scopes[0]",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestTextsAreAsTheContractHasThem(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		request := newClient()
		request.Description = "first line\r\nsecond line\t"
		if _, err := s.CreateClient(t.Context(), request); err != nil {
			t.Error(err)
		}
		request = newClient()
		request.Name = " \u2003"
		_, err := s.CreateClient(t.Context(), request)
		got := wantFailure(t, err, codes.InvalidArgument, "INVALID_REQUEST", pb.Outcome_OUTCOME_NOT_APPLIED)
		if !slices.Equal(got, []string{"name"}) {
			t.Error(got)
		}
		request = newClient()
		request.Scopes = slices.Repeat([]string{"a b"}, 50)
		_, err = s.CreateClient(t.Context(), request)
		got = wantFailure(t, err, codes.InvalidArgument, "INVALID_REQUEST", pb.Outcome_OUTCOME_NOT_APPLIED)
		if len(got) != 20 {
			t.Error(got)
		}
	})
}

func TestATooLongNameIsCutAtACharacterAndTold(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		request := newClient()
		request.Name = strings.Repeat("ß", 255)
		made, err := s.CreateClient(t.Context(), request)
		if err != nil || len(made.GetAdjustments()) != 1 || made.GetAdjustments()[0].GetField() != "name" {
			t.Fatal(made, err)
		}
		if kept, _ := s.idp.Get(t.Context(), made.GetClientId()); kept.Name != strings.Repeat("ß", idp.MaxName) {
			t.Error(kept.Name)
		}
	})
}

func TestWhoseAClientIsDecidesEveryCall(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		made := create(t, s).GetClientId()
		for _, row := range []struct {
			provider, client, reason string
			deletion                 pb.Deletion
		}{
			{"another", made, "CLIENT_NOT_FOUND", 0},
			{"p", ownClient, "CLIENT_NOT_FOUND", 0},
			{"p", handmade, "CLIENT_NOT_ADMITTED", pb.Deletion_DELETION_LEFT_IN_PLACE},
			{"p", "nobody", "CLIENT_NOT_FOUND", pb.Deletion_DELETION_ABSENT},
			{"p", made, "", pb.Deletion_DELETION_DELETED},
			{"p", made, "CLIENT_NOT_FOUND", pb.Deletion_DELETION_ABSENT},
		} {
			_, err := s.RotateClientSecret(t.Context(), &pb.RotateClientSecretRequest{
				Caller: caller(row.provider), Operation: newOperation(), ClientId: row.client,
			})
			if row.reason == "" {
				if err != nil {
					t.Error(row, err)
				}
			} else {
				wantFailure(t, err, codes.NotFound, row.reason, pb.Outcome_OUTCOME_NOT_APPLIED)
			}
			deleted, err := s.DeleteClient(t.Context(), &pb.DeleteClientRequest{
				Caller: caller(row.provider), Operation: newOperation(), ClientId: row.client,
			})
			if row.deletion == 0 {
				wantFailure(t, err, codes.NotFound, row.reason, pb.Outcome_OUTCOME_NOT_APPLIED)
			} else if deleted.GetDeletion() != row.deletion {
				t.Error(row, deleted, err)
			}
		}
	})
}

func TestAnOperationHappensOnce(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		request := newClient()
		if _, err := s.CreateClient(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		_, err := s.CreateClient(t.Context(), request)
		wantFailure(t, err, codes.AlreadyExists, "OPERATION_REPEATED", pb.Outcome_OUTCOME_NOT_APPLIED)
		if ids := listed(t, s); len(ids) != 1 {
			t.Error(ids)
		}
	})
}

func TestACreateThatWasAbortedBeforeItCameIsRefused(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		request := newClient()
		wantAbort(t, s, abortOf(request), pb.Abort_ABORT_ACCEPTED)
		_, err := s.CreateClient(t.Context(), request)
		wantFailure(t, err, codes.AlreadyExists, "OPERATION_ABORTED", pb.Outcome_OUTCOME_NOT_APPLIED)
	})
}

func TestWhatWasAbortedIsUndoneUnlessItWasDelivered(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		lost, kept := newClient(), newClient()
		for _, request := range []*pb.CreateClientRequest{lost, kept} {
			if _, err := s.CreateClient(t.Context(), request); err != nil {
				t.Fatal(err)
			}
		}
		id := clientID(operationOf(caller("p"), kept.GetOperation().GetOperationId()))
		_, err := s.ListClientSecrets(t.Context(), &pb.ListClientSecretsRequest{Caller: caller("p"), ClientId: id})
		if err != nil {
			t.Fatal(err)
		}
		stranger := abortOf(lost)
		stranger.Caller = caller("another")
		wantAbort(t, s, stranger, pb.Abort_ABORT_LEFT)
		for range 3 {
			wantAbort(t, s, abortOf(lost), pb.Abort_ABORT_UNDONE)
		}
		wantAbort(t, s, abortOf(kept), pb.Abort_ABORT_LEFT)
		if ids := listed(t, s); !slices.Equal(ids, []string{id}) {
			t.Error(ids)
		}
	})
}

// Before the commit, while it happens, and when it has happened and nobody was told.
func TestACreateThatIsAbortedWhileItRunsLeavesNothing(t *testing.T) {
	for _, moment := range []time.Duration{latency / 2, latency, latency * 3 / 2} {
		story(t, func(t *testing.T, s *service) {
			request := newClient()
			s.tasks.Go(func() {
				time.Sleep(moment)
				_, _ = s.AbortOperation(context.Background(), abortOf(request))
			})
			_, err := s.CreateClient(t.Context(), request)
			wantFailure(t, err, codes.AlreadyExists, "OPERATION_ABORTED", pb.Outcome_OUTCOME_UNKNOWN)
			s.tasks.Wait()
			if ids := listed(t, s); len(ids) > 0 {
				t.Errorf("aborted after %v: %v", moment, ids)
			}
		})
	}
}

func TestACallerThatGoesAwayLeavesNothing(t *testing.T) {
	for _, moment := range []time.Duration{latency / 2, latency, latency * 3 / 2} {
		story(t, func(t *testing.T, s *service) {
			ctx, leave := context.WithCancel(t.Context())
			time.AfterFunc(moment, leave)
			_, err := s.CreateClient(ctx, newClient())
			wantFailure(t, err, codes.DeadlineExceeded, "TIMED_OUT", pb.Outcome_OUTCOME_UNKNOWN)
			s.tasks.Wait()
			if ids := listed(t, s); len(ids) > 0 {
				t.Errorf("gone after %v: %v", moment, ids)
			}
		})
	}
}

func TestARestartedConnectorDoesNotUndoWhatTheFirstDelivered(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		request := newClient()
		made, err := s.CreateClient(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		restarted := newService(s.idp, ownClient, s.settleAfter)
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(latency/2, leave)
		if _, err = restarted.CreateClient(ctx, request); err == nil {
			t.Error("made twice")
		}
		restarted.tasks.Wait()
		if ids := listed(t, s); !slices.Equal(ids, []string{made.GetClientId()}) {
			t.Error(ids)
		}
	})
}

func TestWhatCannotBeUndoneYetIsUndoneLater(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		request := newClient()
		if _, err := s.CreateClient(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		s.idp.Down.Store(true)
		wantAbort(t, s, abortOf(request), pb.Abort_ABORT_ACCEPTED)
		time.Sleep(s.settleAfter + taskTime/2)
		s.idp.Down.Store(false)
		s.tasks.Wait()
		if ids := listed(t, s); len(ids) > 0 {
			t.Error(ids)
		}
	})
}

func TestAListHasEachClientOnceWhileOthersVanish(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		var ids []string
		for range 6 {
			ids = append(ids, create(t, s).GetClientId())
		}
		request := &pb.ListManagedClientsRequest{Caller: caller("p"), PageSize: 3}
		first, err := s.ListManagedClients(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{ids[0], ids[3]} {
			_, err := s.DeleteClient(t.Context(), &pb.DeleteClientRequest{
				Caller: caller("p"), Operation: newOperation(), ClientId: gone,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		request.PageToken = first.GetNextPageToken()
		second, err := s.ListManagedClients(t.Context(), request)
		if err != nil || !second.GetComplete() || second.GetNextPageToken() != "" {
			t.Fatal(second, err)
		}
		var got []string
		for _, c := range append(first.GetClients(), second.GetClients()...) {
			got = append(got, c.GetClientId())
		}
		want := []string{ids[0], ids[1], ids[2], ids[4], ids[5]}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		request.Caller = &pb.Caller{Installation: "elsewhere", ProviderId: "p"}
		_, err = s.ListManagedClients(t.Context(), request)
		wantFailure(t, err, codes.InvalidArgument, "INVALID_REQUEST", pb.Outcome_OUTCOME_NOT_APPLIED)
	})
}

func TestAProbeThatWasLeftIsRemovedByTheNext(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		probe := func() string {
			request := newClient()
			request.Probe = true
			made, err := s.CreateClient(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			s.tasks.Wait()
			return made.GetClientId()
		}
		left := probe()
		time.Sleep(oldestProbe - time.Minute)
		second := probe()
		if ids := listed(t, s); !slices.Equal(ids, []string{left, second}) {
			t.Error(ids)
		}
		time.Sleep(2 * time.Minute)
		third := probe()
		if ids := listed(t, s); !slices.Equal(ids, []string{second, third}) {
			t.Error(ids)
		}
	})
}

func TestAnOldOperationIsNotAborted(t *testing.T) {
	story(t, func(t *testing.T, s *service) {
		request := newClient()
		time.Sleep(oldestAbort + time.Second)
		_, err := s.AbortOperation(t.Context(), abortOf(request))
		fields := wantFailure(t, err, codes.InvalidArgument, "INVALID_REQUEST", pb.Outcome_OUTCOME_NOT_APPLIED)
		if !slices.Equal(fields, []string{"operation_id"}) {
			t.Error(fields)
		}
	})
}
