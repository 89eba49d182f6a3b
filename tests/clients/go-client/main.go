// What Go services do with a token: ask through client-go's typed client, and through the delegating
// authenticator that extension API servers use. Prints both answers as one JSON object.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

type delegated struct {
	Accepted bool                `json:"accepted"`
	Username string              `json:"username,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
	Error    string              `json:"error,omitempty"`
}

func main() {
	host := flag.String("host", "", "URL of the endpoint, with a path where it has one")
	ca := flag.String("ca", "", "PEM file with its authority")
	audience := flag.String("audience", "", "who asks")
	flag.Parse()
	token := os.Getenv("TOKEN")

	config := &rest.Config{Host: *host, TLSClientConfig: rest.TLSClientConfig{CAFile: *ca}}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	audiences := []string{*audience}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}
	typed, err := client.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	answer := map[string]any{"typed": typed.Status, "delegated": delegate(ctx, client, token, audiences)}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
}

func delegate(ctx context.Context, client kubernetes.Interface, token string, audiences []string) delegated {
	config := authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient:  client.AuthenticationV1(),
		TokenAccessReviewTimeout: 10 * time.Second,
		WebhookRetryBackoff:      &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 1, Steps: 1},
		CacheTTL:                 time.Second,
		APIAudiences:             authenticator.Audiences(audiences),
	}
	asks, _, err := config.New()
	if err != nil {
		return delegated{Error: err.Error()}
	}
	// As the server does that an extension API server is built on.
	ctx = authenticator.WithAudiences(ctx, audiences)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nowhere.test/", nil)
	if err != nil {
		return delegated{Error: err.Error()}
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, accepted, err := asks.AuthenticateRequest(request)
	if err != nil {
		return delegated{Error: err.Error()}
	}
	if !accepted {
		return delegated{}
	}
	user := response.User
	return delegated{Accepted: true, Username: user.GetName(), Groups: user.GetGroups(), Extra: user.GetExtra()}
}
