// The policies of a product, and the conditions that say whether they are in force.
import { ConditionChip } from "./chips";
import { tierText } from "./limits";
import { condition } from "./phases";
import type { Product } from "./types";

export function Policies({ product }: { product: Product }) {
  const plans = product.status?.discoveredPlans ?? [];
  return (
    <div class="stack">
      <div class="cards">
        <PolicyCard title="Plan Policy" product={product} type="PlanPolicyDiscovered">
          {plans.map((plan) => (
            <li key={plan.tier}>{tierText(plan)}</li>
          ))}
        </PolicyCard>
        <PolicyCard title="Auth Policy" product={product} type="AuthPolicyDiscovered">
          {Object.entries(product.status?.discoveredAuthScheme?.authentication ?? {}).map(([name, scheme]) => (
            <li key={name}>
              {name}: {Object.keys(scheme).find((kind) => ["apiKey", "jwt"].includes(kind)) ?? "another method"}
            </li>
          ))}
        </PolicyCard>
      </div>
      <Conditions product={product} />
    </div>
  );
}

interface PolicyCardProps {
  title: string;
  product: Product;
  type: string;
  children: preact.ComponentChildren;
}

function PolicyCard({ title, product, type, children }: PolicyCardProps) {
  const found = condition(product, type);
  return (
    <section class="card stack" aria-label={title}>
      <div class="row">
        <h2 class="grow">{title}</h2>
        <ConditionChip of={found} />
      </div>
      <p class="soft wrap">{found?.message ?? "Nothing is known yet."}</p>
      <ul class="bullets">{children}</ul>
    </section>
  );
}

function Conditions({ product }: { product: Product }) {
  const conditions = product.status?.conditions ?? [];
  return (
    <section class="card" aria-labelledby="conditions">
      <h2 id="conditions">Conditions</h2>
      {conditions.length === 0 && <p class="soft">The controller has not looked at this product yet.</p>}
      {conditions.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Condition</th>
              <th scope="col">State</th>
              <th scope="col">Message</th>
            </tr>
          </thead>
          <tbody>
            {conditions.map((one) => (
              <tr key={one.type}>
                <th scope="row" data-label="Condition">
                  {one.type}
                </th>
                <td data-label="State">
                  <ConditionChip of={one} />
                </td>
                <td data-label="Message" class="wrap">
                  {one.message}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
