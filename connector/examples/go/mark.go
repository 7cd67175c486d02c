package main

import (
	"strings"

	pb "dcr-connector-go/gen/dcr/connector/v1"
	"dcr-connector-go/idp"
)

// The attributes of a client that are its mark.
const (
	installationKey = "dcr_installation"
	providerKey     = "dcr_provider"
	operationKey    = "dcr_operation"
	probeKey        = "dcr_probe"
)

// standing says whose a client is, seen by a caller: the rows of the contract's table.
type standing int

const (
	absent standing = iota
	ours
	unmarked
	foreign
)

// marked returns the attributes of a client that an operation makes.
func marked(op operation, probe bool) map[string]string {
	mark := map[string]string{
		installationKey: op.installation,
		providerKey:     op.provider,
		operationKey:    op.id,
	}
	if probe {
		mark[probeKey] = "true"
	}
	return mark
}

// madeBy returns the operation of a client's mark; its zero value when there is none.
func madeBy(c idp.Client) operation {
	return operation{c.Attributes[installationKey], c.Attributes[providerKey], c.Attributes[operationKey]}
}

func (s *service) standing(caller *pb.Caller, c idp.Client) standing {
	made := madeBy(c)
	switch {
	case c.ID == s.ownClient:
		return foreign
	case made == operation{}:
		return unmarked
	case made == operationOf(caller, made.id):
		return ours
	default:
		return foreign
	}
}

// clientID is the id of the client that an operation makes: known before it is made, and found again by it.
func clientID(op operation) string {
	return "dcr-" + strings.ReplaceAll(op.id, "-", "")
}
