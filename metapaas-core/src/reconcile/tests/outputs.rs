//! What nodes report of outputs: what they tell is kept and counted, what they leave out stays, and no node tells a secret.

use metapaas_core::{Desired, PaasType, PlanError, Secret, paas_type};

use super::*;
use crate::instance_metrics::InstanceMetrics;

/// Strikes coins.
#[paas_type(slug = "mint")]
struct Mint {
    /// Coins in the vault \ now.
    #[field(output, metric = "gauge")]
    coins: Option<u32>,
    /// Coins struck.
    #[field(output, metric = "counter")]
    struck: Option<f64>,
    #[field(output)]
    place: Option<String>,
    #[field(output)]
    key: Option<Secret<String>>,
}

/// What coins are struck with.
#[paas_type(parent = Mint, plural = "dies", key = "name")]
struct Die {
    name: String,
    #[field(output)]
    worn: Option<u32>,
    #[field(output)]
    seal: Option<Secret<String>>,
}

fn plan(mint: &Desired<Mint>) -> Result<Vec<NodeSpec>, PlanError> {
    let key = mint.spec.key.as_ref().map(|key| key.expose().clone());
    Ok(vec![NodeSpec::new("press", 80, json!(key))])
}

async fn world(database: TestDatabase) -> World {
    let plugin = Plugin::new("mint", "1.0.0")
        .instance::<Mint>()
        .child::<Die>()
        .complete::<Mint>(|mint, _| Mint { key: Some(Secret::new("of the vault".into())), ..mint })
        .complete::<Die>(|die, _| Die { seal: Some(Secret::new("of the king".into())), ..die })
        .plan(plan)
        .driver::<Mint>(|| unreachable!("no agent runs here"));
    World::of(database, plugin).await
}

impl World {
    /// The instance and its die after a node has reported these facts.
    async fn minted(&self, facts: Value) -> [Resource; 2] {
        let find = |ty, keys| async move { self.find(ty, keys).await.unwrap() };
        let instance = find(Mint::DESCRIPTOR, &["royal"]).await;
        let node = self.store.nodes(instance.meta.id).await.unwrap().remove(0);
        let document = self.agents.document(node.id, "", Duration::ZERO).await.unwrap().unwrap();
        let report = NodeReport {
            protocol: PROTOCOL_VERSION,
            applied_generation: document.generation,
            applied_digest: document.digest,
            health: Health::Healthy,
            message: String::new(),
            facts: serde_json::from_value(facts).unwrap(),
            errors: Vec::new(),
            removed: false,
            agent_version: "test".into(),
            last_lines: Vec::new(),
        };
        self.agents.report(node.id, node.id, report).await.unwrap();
        assert!(self.work(&self.reconciler()).await);
        [find(Mint::DESCRIPTOR, &["royal"]).await, find(Die::DESCRIPTOR, &["royal", "crown"]).await]
    }
}

#[tokio::test]
async fn a_report_of_some_outputs_changes_those_and_no_secret() {
    for database in [sqlite().await, postgres().await] {
        let world = world(database).await;
        let instance = world.make(Mint::DESCRIPTOR, None, json!({ "name": "royal" })).await;
        world.make(Die::DESCRIPTOR, Some(&instance), json!({ "name": "crown" })).await;
        assert!(world.work(&world.reconciler()).await);
        for (facts, coins, worn) in [
            (json!({ "coins": 3, "place": "Berne" }), json!(3), json!(null)),
            (json!({ "key": "stolen", "dies/crown": { "worn": 1, "seal": "forged" } }), json!(3), json!(1)),
            (json!({ "coins": 4, "key": null, "dies/crown": { "seal": null } }), json!(4), json!(1)),
            (json!({}), json!(4), json!(1)),
        ] {
            let [mint, die] = world.minted(facts.clone()).await;
            let [of_mint, of_die] = [&mint, &die].map(|row| world.store.reveal(row).unwrap());
            assert_eq!((&of_mint["coins"], &of_mint["place"]), (&coins, &json!("Berne")), "{facts}");
            assert_eq!((&of_mint["key"], &of_die["seal"]), (&json!("of the vault"), &json!("of the king")));
            assert_eq!(of_die["worn"], worn, "{facts}");
            assert_eq!([mint.meta.status, die.meta.status], ["ACTIVE", "ACTIVE"]);
        }
    }
}

#[tokio::test]
async fn numbers_that_nodes_report_are_metrics_of_their_instance() {
    for database in [sqlite().await, postgres().await] {
        let world = world(database).await;
        let metrics = || InstanceMetrics::new(world.store.clone());
        let cut = "# HELP metapaas_instance_metrics_cut Whether a type has more instances than are told of here.\n\
                   # TYPE metapaas_instance_metrics_cut gauge\nmetapaas_instance_metrics_cut{type=\"mint\"} 0\n";
        let names = "# HELP metapaas_instance_coins Coins in the vault \\\\ now.\n# TYPE metapaas_instance_coins gauge\n";
        let struck = "# HELP metapaas_instance_struck_total Coins struck.\n# TYPE metapaas_instance_struck_total counter\n";
        assert_eq!(&*metrics().text().await.unwrap(), [names, cut, struck].concat());

        let instance = world.make(Mint::DESCRIPTOR, None, json!({ "name": "royal" })).await;
        world.make(Die::DESCRIPTOR, Some(&instance), json!({ "name": "crown" })).await;
        assert!(world.work(&world.reconciler()).await);
        let kept = metrics();
        let before = kept.text().await.unwrap();
        assert!(
            !before.contains(&instance.meta.id.to_string()),
            "nothing is told that nobody knows: {before}"
        );
        world.minted(json!({ "coins": 3, "struck": 4.5, "place": "Berne" })).await;
        let labels = format!(
            "{{type=\"mint\",instance_id=\"{}\",project_id=\"{PLATFORM_PROJECT}\"}}",
            instance.meta.id
        );
        let coins = format!("metapaas_instance_coins{labels} 3\n");
        let strikes = format!("metapaas_instance_struck_total{labels} 4.5\n");
        assert_eq!(&*metrics().text().await.unwrap(), [names, &coins, cut, struck, &strikes].concat());
        assert_eq!(kept.text().await.unwrap(), before, "an answer is good for a while");
    }
}
