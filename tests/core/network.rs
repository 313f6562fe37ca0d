//! What a network says of its parameters.

use ironprop::kernels::{Activation, Level};
use ironprop::network::Network;

#[test]
fn a_network_is_finite_exactly_if_each_of_its_weights_and_biases_is() {
    let sizes = [3, 5, 2];
    let mut network = Network::<f32>::new(&sizes, &[Activation::Tanh; 2], Level::current().unwrap()).unwrap();
    let packed = vec![1.0; network.n_parameters()];
    let padding = f32::NAN;
    let set = |network: &mut Network<f32>, numbers: &[f32]| {
        let mut buffer = vec![padding; network.buffer().as_slice().len()];
        network.unpack(numbers, &mut buffer);
        network.buffer_mut().as_mut_slice().copy_from_slice(&buffer);
    };
    set(&mut network, &packed);
    assert!(network.is_finite(), "padding does not count");
    for place in 0..packed.len() {
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut poisoned = packed.clone();
            poisoned[place] = number;
            set(&mut network, &poisoned);
            assert!(!network.is_finite(), "{number} at {place}");
        }
    }
}
