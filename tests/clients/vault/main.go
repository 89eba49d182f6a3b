// Vault's Kubernetes auth method as Vault runs it, with the token service in place of an API server: configured, given
// one role, and asked to log somebody in.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	kubeauth "github.com/hashicorp/vault-plugin-auth-kubernetes"
	"github.com/hashicorp/vault/sdk/logical"
)

func main() {
	host := flag.String("host", "", "URL that stands for the API server")
	ca := flag.String("ca", "", "file with its authority")
	audience := flag.String("audience", "", "audience of the role")
	flag.Parse()
	answer, err := login(*host, *ca, *audience)
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
		path string
		data map[string]any
	}{
		{"config", map[string]any{
			"kubernetes_host": host, "kubernetes_ca_cert": string(authority),
			"token_reviewer_jwt": os.Getenv("CREDENTIAL"), "disable_local_ca_jwt": true,
		}},
		{"role/app", map[string]any{
			"bound_service_account_names": "app", "bound_service_account_namespaces": "default",
			"audience": audience, "token_policies": "readers",
		}},
	}
	for _, step := range steps {
		if response, err := ask(logical.CreateOperation, step.path, step.data); err != nil {
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
