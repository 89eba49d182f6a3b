import io.fabric8.kubernetes.api.model.authentication.TokenReview;
import io.fabric8.kubernetes.api.model.authentication.TokenReviewBuilder;
import io.fabric8.kubernetes.client.ConfigBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.utils.Serialization;

/** A Java program that asks about a token with fabric8 over the HTTP client of the JDK. */
public class Client {
  public static void main(String[] arguments) {
    var config = new ConfigBuilder().withAutoConfigure(false).withMasterUrl(arguments[0]).withCaCertFile(arguments[1]).build();
    try (KubernetesClient client = new KubernetesClientBuilder().withConfig(config).build()) {
      TokenReview review = new TokenReviewBuilder()
          .withNewSpec().withToken(System.getenv("TOKEN")).withAudiences(arguments[2]).endSpec().build();
      TokenReview answer = client.authentication().v1().tokenReviews().create(review);
      System.out.println(Serialization.asJson(answer.getStatus()));
    }
  }
}
