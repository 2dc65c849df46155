//! Stand-ins for a desktop's services.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use tandem_system::{Bus, Buses};
use tandem_tests::{MessageBus, Process};
use zbus::connection::Builder;
use zbus::export::serde::Serialize;
use zbus::message::Type;
use zbus::{Connection, DynamicType, MatchRule, Message, MessageStream, OwnedVariant, Variant};

/// How long anything may take on a busy machine before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The interface through which tests talk to python-dbusmock.
const MOCK: &str = "org.freedesktop.DBus.Mock";

/// A service's well-known name, the path of its object, and its interface.
#[derive(Clone, Copy)]
pub(crate) struct Service(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

/// A session bus and a system bus, both without services.
pub(crate) struct Desktop {
    pub(crate) session: MessageBus,
    pub(crate) system: MessageBus,
}

impl Desktop {
    pub(crate) fn start() -> Self {
        let bus = || MessageBus::start().expect("a message bus");
        Self {
            session: bus(),
            system: bus(),
        }
    }

    /// With time enough for a busy machine.
    pub(crate) fn buses(&self) -> Buses {
        Buses {
            session: Bus::Address(self.session.address().into()),
            system: Bus::Address(self.system.address().into()),
            timeout: LIMIT,
        }
    }

    /// For a test that waits for the timeout: short, and long enough to connect on a busy machine.
    pub(crate) fn impatient_buses(&self) -> Buses {
        Buses {
            timeout: Duration::from_secs(2),
            ..self.buses()
        }
    }
}

pub(crate) async fn connect(bus: &MessageBus) -> Connection {
    Builder::address(bus.address())
        .method_timeout(LIMIT)
        .build()
        .await
        .expect("the bus accepts us")
}

/// A python-dbusmock process that is one service.
pub(crate) struct Mock {
    process: Process,
    service: Service,
    connection: Connection,
}

impl Mock {
    /// Starts a service with these methods: name, signature of its arguments, signature of its
    /// result, and what it does, in Python.
    pub(crate) async fn start(
        bus: &MessageBus,
        service: Service,
        methods: &[(&str, &str, &str, &str)],
    ) -> Self {
        let Service(name, path, interface) = service;
        let mock = Self::launch(bus, service, &[name, path, interface]).await;
        mock.ask("AddMethods", &(interface, methods)).await;
        mock
    }

    /// Starts a service that python-dbusmock knows.
    pub(crate) async fn template(
        bus: &MessageBus,
        service: Service,
        template: &str,
        parameters: &str,
    ) -> Self {
        let arguments = [
            "--session",
            "--template",
            template,
            "--parameters",
            parameters,
        ];
        Self::launch(bus, service, &arguments).await
    }

    async fn launch(bus: &MessageBus, service: Service, arguments: &[&str]) -> Self {
        let connection = connect(bus).await;
        let mut owners = owners(&connection, service.0).await;
        let process = bus.start_mock(arguments).expect("python-dbusmock starts");
        let owner = tokio::time::timeout(LIMIT, owners.next()).await;
        assert!(matches!(owner, Ok(Some(_))), "it takes its name");

        let mock = Self {
            process,
            service,
            connection,
        };
        // It has its name before its object.
        until("its object", async || {
            mock.try_ask("GetCalls", &()).await.ok()
        })
        .await;
        mock
    }

    async fn try_ask<B>(&self, method: &str, arguments: &B) -> zbus::Result<Message>
    where
        B: Serialize + DynamicType,
    {
        let Service(name, path, _) = self.service;
        self.connection
            .call_method(Some(name), path, Some(MOCK), method, arguments)
            .await
    }

    async fn ask<B>(&self, method: &str, arguments: &B) -> Message
    where
        B: Serialize + DynamicType,
    {
        let reply = self.try_ask(method, arguments).await;
        reply.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The arguments of each call of `method` so far.
    pub(crate) async fn calls(&self, method: &str) -> Vec<Vec<OwnedVariant>> {
        let reply = self.ask("GetMethodCalls", &(method,)).await;
        let calls: Vec<(u64, Vec<OwnedVariant>)> =
            reply.body().deserialize().expect("a list of calls");
        calls
            .into_iter()
            .map(|(_time, arguments)| arguments)
            .collect()
    }

    /// Sends a signal of the service.
    pub(crate) async fn emit(&self, name: &str, signature: &str, arguments: &[Variant<'_>]) {
        let Service(_, _, interface) = self.service;
        self.ask("EmitSignal", &(interface, name, signature, arguments))
            .await;
    }

    /// Waits for a call, by the method's name and its arguments as python-dbusmock logs them.
    pub(crate) async fn wait_for_call(&self, call: &str) {
        let is_logged = |line: &str| {
            line.split_once(' ')
                .is_some_and(|(_time, what)| what == call)
        };
        until(call, async || {
            let log = self.process.stdout();
            log.lines().any(is_logged).then_some(())
        })
        .await;
    }
}

/// Changes of the owner of a name.
pub(crate) async fn owners(connection: &Connection, name: &str) -> MessageStream {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .arg(0, name)
        .build()
        .expect("a valid rule");
    MessageStream::for_match_rule(rule, connection, None)
        .await
        .expect("the bus takes the rule")
}

/// A service that receives calls and answers only when the test does.
pub(crate) struct Silent {
    pub(crate) connection: Connection,
    messages: MessageStream,
}

impl Silent {
    pub(crate) async fn start(bus: &MessageBus, service: Service) -> Self {
        let connection = connect(bus).await;
        let messages = MessageStream::from(&connection);
        connection
            .request_name(service.0)
            .await
            .expect("the name is free");
        Self {
            connection,
            messages,
        }
    }

    pub(crate) async fn next_call(&mut self) -> Message {
        let next = async {
            loop {
                let message = self.messages.next().await.expect("the bus keeps running");
                let message = message.expect("a valid message");
                if message.message_type() == Type::MethodCall {
                    return message;
                }
            }
        };
        tokio::time::timeout(LIMIT, next).await.expect("a call")
    }

    pub(crate) async fn reply<B>(&self, call: &Message, result: &B)
    where
        B: Serialize + DynamicType,
    {
        let reply = self.connection.reply(&call.header(), result).await;
        reply.expect("the reply is sent");
    }
}

/// Waits until the program with this unique name has left the bus.
pub(crate) async fn wait_until_gone(bus: &MessageBus, name: &str) {
    let connection = connect(bus).await;
    until("the connection ends", async || {
        let reply = connection
            .call_method(
                Some("org.freedesktop.DBus"),
                "/org/freedesktop/DBus",
                Some("org.freedesktop.DBus"),
                "NameHasOwner",
                &(name,),
            )
            .await
            .expect("the bus answers");
        let is_there: bool = reply.body().deserialize().expect("an answer");
        (!is_there).then_some(())
    })
    .await;
}

/// Asks every 20 ms until there is an answer.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(LIMIT, asked).await;
    found.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// Something of a `Variant`, as the type that it should have.
pub(crate) fn value<T>(variant: &OwnedVariant) -> T
where
    T: TryFrom<OwnedVariant>,
{
    let copy = variant.try_clone().expect("no file in it");
    T::try_from(copy).unwrap_or_else(|_| panic!("{variant:?} has another type"))
}

/// A dictionary of options or hints.
pub(crate) fn dictionary(variant: &OwnedVariant) -> HashMap<String, OwnedVariant> {
    value(variant)
}
