// Vault's Kubernetes auth method as Vault runs it, with the token service in place of an API server: configured, given
// one role, and asked to log somebody in.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	kubeauth "github.com/hashicorp/vault-plugin-auth-kubernetes"
	"github.com/hashicorp/vault/sdk/logical"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("give the URL that stands for the API server, a file with its authority, and the role's audience")
	}
	answer, err := login(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		answer = map[string]any{"error": err.Error()}
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}

func login(host, ca, audience string) (map[string]any, error) {
	authority, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	system := &logical.StaticSystemView{DefaultLeaseTTLVal: time.Hour, MaxLeaseTTLVal: time.Hour}
	backend, err := kubeauth.Factory(ctx, &logical.BackendConfig{
		Logger: hclog.NewNullLogger(), System: system, StorageView: &logical.InmemStorage{},
	})
	if err != nil {
		return nil, err
	}
	storage := &logical.InmemStorage{}
	ask := func(operation logical.Operation, path string, data map[string]any) (*logical.Response, error) {
		return backend.HandleRequest(ctx, &logical.Request{
			Operation: operation, Path: path, Storage: storage, Data: data,
			Connection: &logical.Connection{RemoteAddr: "127.0.0.1"},
		})
	}
	steps := []struct {
		operation logical.Operation
		path      string
		data      map[string]any
	}{
		{logical.UpdateOperation, "config", map[string]any{
			"kubernetes_host": host, "kubernetes_ca_cert": string(authority),
			"token_reviewer_jwt": os.Getenv("CREDENTIAL"), "disable_local_ca_jwt": true,
		}},
		{logical.CreateOperation, "role/app", map[string]any{
			"bound_service_account_names": "app", "bound_service_account_namespaces": "default",
			"audience": audience, "token_policies": "readers",
		}},
	}
	for _, step := range steps {
		if response, err := ask(step.operation, step.path, step.data); err != nil {
			return nil, err
		} else if response.IsError() {
			return nil, response.Error()
		}
	}
	response, err := ask(logical.UpdateOperation, "login", map[string]any{"role": "app", "jwt": os.Getenv("TOKEN")})
	if err != nil {
		return nil, err
	}
	if response.IsError() {
		return nil, response.Error()
	}
	return map[string]any{"policies": response.Auth.Policies, "metadata": response.Auth.Metadata}, nil
}
